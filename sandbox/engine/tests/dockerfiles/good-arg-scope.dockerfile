FROM scratch as x
ARG a=1
ENV b=$a
FROM scratch
ENV c=x$a
