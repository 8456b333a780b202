FROM scratch
VOLUME   /a    /b	/c
LABEL    a=b     c=d
