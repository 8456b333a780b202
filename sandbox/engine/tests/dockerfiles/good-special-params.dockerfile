FROM scratch
ENV a=$ b=$$ c=$1x d=$@ e=${A_b} f="$" g=a$
