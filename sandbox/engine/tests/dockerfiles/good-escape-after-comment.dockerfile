# something
# escape=`
FROM scratch
ENV a=1 \
 b=2
