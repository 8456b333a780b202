FROM scratch
ENV a=1 \
    b=2 \
# a comment within
    c=3
LABEL x=1\
y=2
CMD echo \
  a \   
  b
