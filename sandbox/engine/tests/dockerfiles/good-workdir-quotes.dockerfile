FROM scratch
WORKDIR "/a b"
USER "x"
WORKDIR ..
WORKDIR /
