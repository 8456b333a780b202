FROM scratch
WORKDIR a//b/./c/
WORKDIR ../../../..
WORKDIR x
WORKDIR .
