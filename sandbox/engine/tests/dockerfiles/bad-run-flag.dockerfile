FROM busybox
RUN --foo true
