   FROM scratch
	ENV a=b
   # comment
