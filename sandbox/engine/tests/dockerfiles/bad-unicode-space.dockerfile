FROM scratch
ENV a=b c d=é
CMD  x
