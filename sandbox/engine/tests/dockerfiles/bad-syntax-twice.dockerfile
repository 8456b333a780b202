# syntax=a
# syntax=b
FROM scratch
ENV a=b
