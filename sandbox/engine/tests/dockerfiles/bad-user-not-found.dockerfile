FROM busybox
USER nosuch
RUN true
