FROM busybox
COPY --chown=0:nosuch Dockerfile /x
