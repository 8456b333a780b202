FROM scratch
ENV b=""
ENV a=${b:?}
