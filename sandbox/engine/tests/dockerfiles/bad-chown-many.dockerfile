FROM busybox
COPY --chown=a:b:c Dockerfile /x
