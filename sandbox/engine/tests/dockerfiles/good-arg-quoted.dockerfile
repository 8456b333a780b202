FROM scratch
ARG a="b c"
ARG d='e f'
ENV x=$a y=$d
LABEL l="$a"
