# syntax=docker/dockerfile:1
# escape=`
FROM scratch
ENV a=b `
 c=d
