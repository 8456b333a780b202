# escape=`
FROM scratch
ENV a=1 `
 b=`$a c=\d
WORKDIR C:\x
