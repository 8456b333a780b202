FROM busybox
COPY <<EOF /x
hi
EOF
