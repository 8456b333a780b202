FROM scratch
ENV k=x
ENV $k=1 a$k=2
ARG $k=3 q=$k
