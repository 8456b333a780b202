FROM scratch
ENV a="${b?no b here}"
