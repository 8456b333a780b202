FROM scratch
HEALTHCHECK --retries=0 CMD x
