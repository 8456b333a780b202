FROM scratch
ARG a b=c d="e f"
ENV x=$b$d
