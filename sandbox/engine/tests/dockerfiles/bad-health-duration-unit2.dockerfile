FROM scratch
HEALTHCHECK --timeout=5q CMD x
