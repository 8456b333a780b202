FROM busybox
COPY --chown=nosuch Dockerfile /x
