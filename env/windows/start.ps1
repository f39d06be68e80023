# NOT TESTED: written without Windows at hand. Runs a buildlet on this machine for a Croft farm, as env/start.sh does elsewhere: gets Node and the
# supervisor from the farm where they are missing, checks them, and hands over. docs/operating/machines.md
# As a service, at each start of the machine, under the account that its jobs shall have (in an elevated PowerShell):
#   $do = New-ScheduledTaskAction -Execute powershell.exe -Argument '-NoProfile -ExecutionPolicy Bypass -File C:\croft\start.ps1 -Farm https://FARM -HostType TYPE'
#   $how = New-ScheduledTaskSettingsSet -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) -ExecutionTimeLimit 0
#   Register-ScheduledTask croft-buildlet -Action $do -Trigger (New-ScheduledTaskTrigger -AtStartup) -Settings $how -User ACCOUNT -Password PASSWORD
param(
  [Parameter(Mandatory)][ValidatePattern('^https://[A-Za-z0-9.:_-]+$')][string]$Farm,
  [Parameter(Mandatory)][ValidatePattern('^[A-Za-z0-9._-]+$')][string]$HostType,
  [string]$Dir = 'C:\croft',
  # PEM of the only authority whose certificates count, for the supervisor and the buildlet. Invoke-WebRequest uses the system's: import it there too.
  [string]$Ca = ''
)
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
New-Item -ItemType Directory -Force $Dir | Out-Null

function Get-Offered([string]$Folder, [string]$Entry, [string]$File, [string]$Target) {
  try {
    $sums = (Invoke-WebRequest -UseBasicParsing -MaximumRedirection 0 "$Farm/dist/$Folder/SHA256SUMS").Content
    $wanted = ($sums -split "`n" | ForEach-Object { , ($_ -split '\s+') } | Where-Object { $_[1] -eq $Entry })[0]
    if (-not $wanted) { throw "the farm has no $Folder/$Entry" }
    if ((Test-Path $Target) -and (Get-FileHash $Target).Hash -eq $wanted) { return }
    Invoke-WebRequest -UseBasicParsing -MaximumRedirection 0 "$Farm/dist/$Folder/$File" -OutFile "$Target.fetched"
    if ($File.EndsWith('.gz')) {
      $in = [IO.Compression.GZipStream]::new([IO.File]::OpenRead("$Target.fetched"), [IO.Compression.CompressionMode]::Decompress)
      $out = [IO.File]::Create("$Target.new")
      $in.CopyTo($out); $out.Close(); $in.Close()
      Remove-Item "$Target.fetched"
    } else { Move-Item -Force "$Target.fetched" "$Target.new" }
    if ((Get-FileHash "$Target.new").Hash -ne $wanted) { throw "$Folder/$File came changed" }
    Set-Content "$Target.sha256" $wanted
    Move-Item -Force "$Target.new" $Target
  } catch { Write-Warning "croft: $_" }
}

function Test-Whole([string]$Target) {
  (Test-Path $Target) -and (Test-Path "$Target.sha256") -and (Get-FileHash $Target).Hash -eq (Get-Content "$Target.sha256" -TotalCount 1)
}

$node = Join-Path $Dir 'node.exe'
Get-Offered 'node' 'win32-x64' 'win32-x64.gz' $node
if (-not (Test-Whole $node)) {
  $found = Get-Command node.exe -ErrorAction SilentlyContinue
  if (-not $found) { throw "there is no Node here, and none could be had from ${Farm}: install Node 20 or newer" }
  $node = $found.Source
}
$supervisor = Join-Path $Dir 'supervise.mjs'
Get-Offered 'buildlet' 'supervise.mjs' 'supervise.mjs' $supervisor
if (-not (Test-Whole $supervisor)) { throw "the supervisor could not be had from $Farm, and none is here" }

$trust = if ($Ca) { @('--ca', $Ca) } else { @() }
$line = if ($Ca) { @('--coordinator-ca', $Ca) } else { @() }
$place = $Farm.Substring('https://'.Length)
& $node $supervisor --from $Farm @trust --dir $Dir -- -reverse-type $HostType -coordinator $place --key-file (Join-Path $Dir 'key') -workdir (Join-Path $Dir 'work') @line
exit $LASTEXITCODE
