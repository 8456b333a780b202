FROM scratch
ENV k it's"
