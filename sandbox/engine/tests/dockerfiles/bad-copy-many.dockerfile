FROM scratch
COPY Dockerfile Dockerfile /x
