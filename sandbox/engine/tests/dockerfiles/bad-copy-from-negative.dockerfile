FROM scratch
ENV a=b
COPY --from=-1 a b
