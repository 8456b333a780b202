FROM scratch
ENV a="x\"y" b='x"y' c=x\"y d="x'y" e="a\b" f=a\b g="" h='' i="a"'b'c
ENV j "quoted old"
LABEL m=
