@echo off
rem Starts migrate with the Node of this directory. It needs a command prompt that runs as administrator.
setlocal
set "NODE_OPTIONS="
set "NODE_PATH="
if not exist "%~dp0windows\node.exe" (
  echo migrate: %~dp0windows\node.exe is missing; unpack the whole archive and keep it together 1>&2
  exit /b 3
)
"%~dp0windows\node.exe" --expose-gc --max-semi-space-size=1 --max-old-space-size=96 "%~dp0app\migrate.js" %*
exit /b %ERRORLEVEL%
