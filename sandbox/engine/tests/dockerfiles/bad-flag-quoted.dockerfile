FROM scratch
COPY --chown="a b" --fo\o x
