FROM scratch
ENV a=b\\
ENV c=d
CMD echo a\\
 b
