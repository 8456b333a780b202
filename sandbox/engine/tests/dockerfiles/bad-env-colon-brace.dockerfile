FROM scratch
ENV a=${:}
