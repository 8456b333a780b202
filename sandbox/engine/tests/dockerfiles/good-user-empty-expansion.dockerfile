FROM scratch
USER $x
