FROM scratch
LABEL ""=b
