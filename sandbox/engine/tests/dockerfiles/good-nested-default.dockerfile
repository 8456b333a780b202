FROM scratch
ENV a=1
ENV b=${c:-${a}} d=${c:-x$a} e=${c:-"q r"} f=${a:+"z"} g=${c:-\}}
