FROM scratch
ENV a=1 b=$a
ENV a=2 a=3 PATH=/x:$PATH
