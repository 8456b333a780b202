FROM scratch
ENV a=${
