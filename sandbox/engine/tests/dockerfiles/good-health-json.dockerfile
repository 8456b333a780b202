FROM scratch
HEALTHCHECK --retries=10 CMD [ "a", "b" ]
HEALTHCHECK --interval=1.5s --timeout=1h1m1.001s CMD x
healthcheck none
