FROM scratch
HEALTHCHECK --foo=1 CMD x
