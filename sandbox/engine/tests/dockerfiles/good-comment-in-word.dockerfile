FROM scratch
ENV a=b#c
CMD echo # not a comment
