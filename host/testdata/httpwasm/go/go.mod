module example.test/handler

go 1.26
