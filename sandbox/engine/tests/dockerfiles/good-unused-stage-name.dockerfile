FROM scratch AS a.b-c_d
ENV a=b
