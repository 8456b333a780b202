FROM scratch
HEALTHCHECK --interval=abc CMD x
