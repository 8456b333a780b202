

# c
FROM scratch

ENV a=b \
 c=d
frobnicate
