FROM scratch
ENV a /x/$b/y
ENV c $a \$a "$a" '$a'
LABEL d e f
