FROM scratch
HEALTHCHECK --timeout=5 CMD x
