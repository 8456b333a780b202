FROM scratch
WORKDIR $x
