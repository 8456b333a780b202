FROM scratch
ENV a=b
COPY --from=0 a b
