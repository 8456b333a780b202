FROM scratch
ENV a=b
COPY --from=7 a b
