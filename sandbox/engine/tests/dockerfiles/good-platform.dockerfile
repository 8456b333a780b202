FROM --platform=linux/amd64 scratch
ENV a=b
