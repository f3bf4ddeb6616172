module github.com/attune-automation/attune

go 1.26.0
