FROM scratch
\
ENV a=b
\

ENV c=d
