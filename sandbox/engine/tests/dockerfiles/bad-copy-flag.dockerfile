FROM scratch
COPY --foo=bar a b
